"""Pictures. Matplotlib is imported in here and in `checks.figure` only, when somebody asks for one.

plots     the pictures of a run, from curves, scatter, profiles (rows that are not images) and tiles (images)
latent    of the latent space: interpolation, traversal; sheets of images
flow      what flows through a model, and back: flow_moves, flow_numbers, flow_places, flow_figure
pulls     what the decoder and the KL want of mu and of sigma
svg, png  how a figure becomes a file
style     colours, and names that cannot break a picture
"""
