"""What turns a text or an image into features: pretrained networks from installed packages, frozen, run once."""
