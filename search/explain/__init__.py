"""Where an exported model looked in a record: attributions over time and leads, and the sheet they are drawn on."""
