"""Media or stored features to class scores, without gradients."""
