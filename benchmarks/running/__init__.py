"""How cells are run: the methods, the tasks, and the runner that resumes."""
