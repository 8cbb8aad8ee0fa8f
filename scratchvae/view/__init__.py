"""Pictures: `plots` of a run. Matplotlib is imported in here only, when somebody asks for a picture."""
