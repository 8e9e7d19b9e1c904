"""What clients send and what they read, one file a dialect: bounds on everything, and no route."""
