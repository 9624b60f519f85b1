"""What a verdict is made of: the case, its windows and samples, what stands against believing them, and each objective."""
