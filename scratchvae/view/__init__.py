"""Pictures. Matplotlib is imported in here only, when somebody asks for one.

plots     the pictures of a run, from curves, scatter, profiles (rows that are not images) and tiles (images)
latent    of the latent space: interpolation, traversal; sheets of images
flow      what flows through a model, and back: flow_moves, flow_numbers, flow_places, flow_figure; svg writes it
style     colours, and names that cannot break a picture
"""
