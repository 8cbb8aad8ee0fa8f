"""What the names in people's code usually mean: of arguments, of gradients, of functions that belong together."""

import re
from collections.abc import Iterable

ROLES = {  # an argument of this name is probably ...
    "data": "x z a s v input inputs data features feature image images img imgs a_prev xt logits scores out q k",
    "target": "counts freq objetivo ziel cible t targ targs target targets "
    "label labels y_true true_y ground_truth actual truth y_target tgt ys ts",
    "prediction": "p probs prob y_pred pred preds predicted predictions y_hat yhat al a_out",
    "weight": "w weight weights kernel kernels filter filters theta wx wxh w_xh w_ih wax w_x wya w_embed",
    "recurrent": "wh whh w_hh w_h wa waa u",
    "bias": "b bias biases ba by bh b_h",
    "gain": "gamma gain",
    "shift": "beta",
    "state": "h h0 prev_h h_prev hidden c0 prev_c c_prev a0 h_0 c_0 state prev_state",
    "latent": "mu logvar log_var mean",
    "noise": "eps noise xi",
    "spread": "sigmas sigma std stds var variance stddev",
    "mask": "mask",
    "given": "reward rewards returns ret rets done dones adv advs advantage advantages baseline baselines grid",
    "index": "action actions act acts idx index indices ids tokens tags segment segments token_ids",
    "graph": "adj adjacency adj_matrix a_hat laplacian",
    "settings": "param params config hparameters hparams options cfg settings",
    "flag": "train training is_training is_train train_flg retain_derived",
}
ROLE_OF = {name: role for role, names in ROLES.items() for name in names.split()}
CONSTANT = (
    "given",
    "index",
    "mask",
    "graph",
    "target",
    "noise",
    "state",
)  # roles that may have no gradient, the likely ones first
OF_X = {"logits", "p", "probs", "x_hat", "xhat", "x_rec", "x_recon", "recon", "recon_x", "reconstruction"}  # of a model
MEANT = {  # plain numbers that a constructor or a function may ask for
    4: "in input_size input_dim n_in in_features in_dim n_inputs input_units in_channels in_ch num_features "
    "n_features dim size features d d_in n_input num_inputs fan_in nin input_features normalized_shape "
    "embed_dim d_model channels c input_channels",
    3: "out output_size output_dim n_out out_features out_dim n_outputs n_neurons units neurons hidden_size "
    "hidden_dim n_units out_channels out_ch num_filters n_filters nout num_out n_output num_outputs "
    "fan_out d_out n_hidden output_channels depth m kernel_size filter_size ksize kernel f",
    2: "pool_size pool_h pool_w pool g groups n_heads heads num_heads",
    1: "stride strides lr learning_rate eta delta margin scale temperature",
    0: "pad padding seed",
    0.5: "p rate dropout drop_rate dropout_rate dropout_ratio keep_prob prob drop_prob",
    0.1: "alpha slope negative_slope leak reg lam lambda_ lambd l2 weight_decay",
    1e-5: "eps epsilon",
    0.9: "momentum",
}
NUMBERS = {name: number for number, names in MEANT.items() for name in names.split()}
RATES = {"lr", "learning_rate", "eta", "learn_rate"}  # a backward that takes one updates its parameters itself
WORDS = {"activation": "relu", "mode": "train"}
OUTPUTS = (
    "output",
    "outputs",
    "out",
    "y",
    "y_pred",
    "a",
    "A",
    "activation",
    "Z",
    "z",
    "loss",
)  # where a layer keeps it
TAKES_OUTPUT = {"y", "out", "output", "a", "A", "s", "S", "activation", "y_hat", "probs"}
NO_GRADIENT = {"data", "dim", "dims", "dtype", "depth", "debug", "device", "dropout", "d", "dict", "delta", "done"}
NO_GRADIENT |= {"dones", "diff", "diffs", "dist", "dists", "distance", "distances", "dev", "den", "denom", "dot", "det"}
NO_GRADIENT |= {"deg", "degree", "discount", "decay", "draw", "draws", "div", "dir"}
SHORT = ((r"^(weights?|kernels?|filters?)(?=$|\d|_)", "w"), (r"^(bias|biases)(?=$|\d|_)", "b"), (r"^inputs?$", "x"))
MARKS = (r"^(?:dl_?|dj_?)?d_?(\w.*)$", r"^grad(?:ient)?_?(\w.*)$", r"^delta_(\w.*)$", r"^(\w.*?)_?grad(?:ient)?s?$")
UPSTREAM = {"grad", "delta", "upstream", "gradient", "g", "output_gradient", "output_grad", "error", "err", "up"}
DERIVATIVES: tuple[str, ...] = (
    "d{}",
    "d_{}",
    "{}_grad",
    "{}_gradient",
    "{}_prime",
    "{}_derivative",
    "{}_deriv",
    "grad_{}",
    "{}_d",
)
DERIVATIVES += ("derivative_{}", "{}_der", "{}_back", "{}_bwd")


def role(name: str) -> str:
    """One of ROLES, or nothing that is known."""
    low = name.lower()
    if re.search(r"_?(param|params|hparameters|config)$", low):
        return "settings"
    if re.search(r"(^|_)(label|target|truth)s?(_|$)", low):
        return "target"
    if re.search(r"(^|_)(old|ref|reward|advantage|return)s?(_|$)|^(is|sample|class|importance|loss)_weights?$", low):
        return "given"  # why: it is data beside a prediction, of which nobody wants a gradient
    if re.search(r"_(preds?|hat)$", low):
        return "prediction"
    if re.match(r"W_?[a-z]{1,4}$|w_(up|down|gate|in|out|q|k|v|o|s|t)$", name) and low not in ROLE_OF:
        return "weight"
    if re.match(r"U_?[a-z]$", name):
        return "recurrent"
    return ROLE_OF.get(low) or ROLE_OF.get(re.sub(r"_?\d+$", "", low), "")


def short(name: str) -> str:
    """One spelling for all: weights1 -> w1, biases -> b, inputs -> x."""
    low = name.lower()
    for pattern, letter in SHORT:
        low = re.sub(pattern, letter, low)
    return low


def gradient_of(name: str) -> str:
    """The short name of what a name says it is the gradient of: dW, grad_W, W_grad -> w; nothing if it is none."""
    for pattern in MARKS:
        if name not in NO_GRADIENT and (found := re.match(pattern, name, re.IGNORECASE)):
            return short(found[1])
    return ""


def is_upstream(name: str) -> bool:
    """Does an argument of a backward look like dy?"""
    return name.lower() in UPSTREAM or bool(gradient_of(name))


def partners(names: Iterable[str]) -> list[tuple[str, str, str]]:
    """(title, forward, backward) for all that belong together, in the order of the forwards; a backward has one."""
    names = list(names)
    found: list[tuple[str, str, str]] = []
    for name in names:
        for other, title in backwards_of(name):
            if other in names and other != name and other not in {pair[2] for pair in found}:
                found.append((title, name, other))
                break
    taken = {pair[2] for pair in found}
    for name in names:  # conv_backward_fast: another backward of conv_forward
        base = name.split("_backward")[0]
        forward = next((f for f in (f"{base}_forward", base) if f in names), None)
        if "_backward_" in name and name not in taken and forward:
            found.append((name, forward, name))
    return found


def backwards_of(name: str) -> Iterable[tuple[str, str]]:
    """What the backward of a function might be called, and what to call the two."""
    for word, other in (("forward", "backward"), ("fwd", "bwd"), ("Forward", "Backward")):
        if word in name:
            yield name.replace(word, other), re.sub(f"_?{word}", "", name, count=1).strip("_") or name
            return
    yield f"{name}_backward", name
    for pattern in DERIVATIVES:
        yield pattern.format(name), name
