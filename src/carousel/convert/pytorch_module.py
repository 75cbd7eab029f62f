"""The source of a small PyTorch module for a model's state dict."""

from __future__ import annotations

from carousel.adaptive_softmax import clusters
from carousel.cells import CELLS, GRU, LSTM
from carousel.storage.config import Config

MODULE = '''\
"""A PyTorch model: ``logits, state = load_model()(tokens, state)``; tokens are ``[T, B]``."""

from pathlib import Path

{imports}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding({vocab_size}, {embedding_size})
        self.rnn = nn.{layer}({embedding_size}, {hidden_size}, {layers}{bias})
{parts}

    def forward(self, tokens, state=None):
{read}
        return {logits}, state


def load_model(path=Path(__file__).with_name({file_name!r})):
    model, state_dict = Model(), {load}
{share}    model.load_state_dict(state_dict)
    return model.eval()
'''
FUSED = "        x, state = self.rnn(self.embedding(tokens), state)"
LINES = """\
        outputs = []
        for ids in tokens.unsqueeze(1):
            if state is not None:  # at the end of a line, 1, it becomes zero
                carried = (ids != 1)[..., None]
                state = {carried}
            x, state = self.rnn(self.embedding(ids), state)
            outputs.append(x)
        x = torch.cat(outputs)"""
LOOP = """\
        x = self.embedding(tokens)
        zeros = x.new_zeros({layers}, x.shape[1], {hidden_size})
        {states} = {zeros} if state is None else state
        after = []
        for layer, (w, r, *biases) in enumerate(self.rnn.all_weights):
            b_w, b_r = biases or (None, None)
            {own}
            words = []
            for {x_t}:
{line_start}{step}
                words.append(h_t)
            x = torch.stack(words)
            after.append({last})
        state = {state}"""
SHARE = 'state_dict["decoder.weight"] = state_dict["embedding.weight"]'
PEEPHOLES = """\
                i, f, g, o = (x_t + linear(h_t, r, b_r)).chunk(4, -1)
                i, f = torch.sigmoid(i + p_i * c_t), torch.sigmoid(f + p_f * c_t)
                c_t = f * c_t + i * torch.tanh(g)
                h_t = torch.sigmoid(o + p_o * c_t) * torch.tanh(c_t)"""
RESET_BEFORE = """\
                x_r, x_z, x_n = x_t.chunk(3, -1)
                reset = torch.sigmoid(x_r + linear(h_t, r_r, b_rr))
                z = torch.sigmoid(x_z + linear(h_t, r_z, b_rz))
                n = torch.tanh(x_n + linear(reset * h_t, r_n, b_rn))
                h_t = (1 - z) * n + z * h_t"""


def module_source(config: Config, file_name: str) -> str:
    """The text of a Python file with a module, and a function that loads its weights.

    Args:
        config: the model's configuration.
        file_name: the file of the state dict, which lies beside the module.
    """
    cell = CELLS[config.cell]
    safe = file_name.endswith(".safetensors")
    lstm = isinstance(cell, LSTM)
    parts = []
    if isinstance(cell, LSTM) and cell.peephole:
        parts.append(
            f"for layer in range({config.layers}):\n"
            f"            weight_ch = nn.Parameter(torch.zeros({3 * config.hidden_size}))\n"
            f'            self.rnn.register_parameter(f"weight_ch_l{{layer}}", weight_ch)'
        )
        read = _loop(config, PEEPHOLES)
    elif isinstance(cell, GRU) and not cell.reset_after:
        read = _loop(config, RESET_BEFORE)
    elif not config.carry_state:
        carried = "tuple(part * carried for part in state)" if lstm else "state * carried"
        read = LINES.format(carried=carried)
    else:
        read = FUSED
    hidden, width = "x", config.hidden_size
    if config.projection_size:
        parts.append(f"self.projection = nn.Linear({width}, {config.projection_size}, bias=False)")
        hidden, width = "self.projection(x)", config.projection_size
    logits = f"self.decoder({hidden})"
    if config.cutoffs:
        read += f"\n        log_probs = self.decoder.log_prob({hidden}.flatten(0, 1))"
        logits = "log_probs.unflatten(0, tokens.shape)"
    parts += _decoder(config, width)
    source = MODULE.format(
        imports="{imports}",
        vocab_size=config.vocab_size,
        embedding_size=config.embedding_size,
        hidden_size=config.hidden_size,
        layer="LSTM" if lstm else "GRU" if isinstance(cell, GRU) else "RNN",
        layers=config.layers,
        bias="" if config.biases else ", bias=False",
        parts="\n".join(f"        {part}" for part in parts),
        read=read,
        logits=logits,
        file_name=file_name,
        load="load_file(path)" if safe else "torch.load(path, weights_only=True)",
        share=f"    {SHARE}\n" if config.tied and not config.cutoffs else "",
    )
    imports = {
        "import torch": "torch." in source,
        "from safetensors.torch import load_file": safe,
        "from torch import nn": True,
        "from torch.nn.functional import linear": "linear(" in source,
    }
    return source.replace("{imports}", "\n".join(line for line in imports if imports[line]))


def _loop(config: Config, step: str) -> str:
    """The layers word by word, for cells that PyTorch has no layer for."""
    lstm = step is PEEPHOLES
    x_t, line_start = "x_t in linear(x, w, b_w)", ""
    if not config.carry_state:
        x_t = "x_t, carried in zip(linear(x, w, b_w), (tokens != 1)[..., None])"
        kept = "h_t, c_t = h_t * carried, c_t * carried" if lstm else "h_t = h_t * carried"
        line_start = f"                {kept}  # 0 at the end of a line\n"
    return LOOP.format(
        x_t=x_t,
        line_start=line_start,
        layers=config.layers,
        hidden_size=config.hidden_size,
        states="h, c" if lstm else "h",
        zeros="(zeros, zeros)" if lstm else "zeros",
        own='p_i, p_f, p_o = getattr(self.rnn, f"weight_ch_l{layer}").chunk(3)\n'
        "            h_t, c_t = h[layer], c[layer]"
        if lstm
        else "(r_r, r_z, r_n), h_t = r.chunk(3), h[layer]\n"
        "            b_rr, b_rz, b_rn = b_r.chunk(3) if biases else (None, None, None)",
        step=step,
        last="(h_t, c_t)" if lstm else "h_t",
        state="tuple(map(torch.stack, zip(*after)))" if lstm else "torch.stack(after)",
    )


def _decoder(config: Config, width: int) -> list[str]:
    """The lines that make the decoder."""
    if config.cutoffs:
        words = [len(ids) for ids in clusters(config.vocab_size, config.cutoffs)]
        sizes = list(zip(config.tail_sizes, words, strict=True))
        return [
            f"self.decoder = nn.AdaptiveLogSoftmaxWithLoss(\n            {width}, "
            f"{config.vocab_size}, {list(config.cutoffs)}, div_value=1.0, head_bias=True\n"
            f"        )",
            f"self.decoder.tail = nn.ModuleList(\n            nn.Sequential(nn.Linear({width}, "
            f"size, bias=False), nn.Linear(size, words, bias=False))\n"
            f"            for size, words in {sizes}\n        )",
        ]
    lines = [f"self.decoder = nn.Linear({width}, {config.vocab_size})"]
    if config.tied:
        lines.append("self.decoder.weight = self.embedding.weight")
    return lines
