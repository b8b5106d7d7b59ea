"""Video models by the classes of the libraries that publish them."""
