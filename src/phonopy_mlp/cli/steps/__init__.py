"""What a command may do with a crystal besides its phonons; each is an option of ``run`` and a command of its own."""
