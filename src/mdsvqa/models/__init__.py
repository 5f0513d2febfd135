"""f, and F's encoders: everything that has weights or reads frames."""
