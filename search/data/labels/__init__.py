"""Label tiers, their hierarchy and the severity maps."""
