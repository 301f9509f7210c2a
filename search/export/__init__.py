"""A trained model as a folder that needs nothing of this program: graph, weights, labels and card."""
