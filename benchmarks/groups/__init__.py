"""Groups of stream workers as processes that tell what they own: what recovery and scaling are measured with."""
