"""How much of the best score of a search is luck."""
