"""Charts and the two ways they are drawn: Plotly and Matplotlib."""
