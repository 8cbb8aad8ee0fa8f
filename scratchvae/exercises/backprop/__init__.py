"""The blanks of the page on backpropagation, in its order."""

from scratchvae.exercises.backprop import layer, neuron, stable
from scratchvae.exercises.blank import Blank

BLANKS: dict[str, Blank] = {
    "edges": neuron.EDGES,
    "tanh": neuron.TANH,
    "difference": neuron.DIFFERENCE,
    "dense": layer.DENSE,
    "softplus": stable.SOFTPLUS,
}
