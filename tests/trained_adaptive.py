"""A small adaptive softmax, trained with PyTorch's own module and exported."""

import numpy as np
import torch

from carousel.model import LanguageModel
from carousel.storage.config import Config
from carousel.study.stories import tell_stories
from carousel.text.vocabulary import train_tokenizer

CUTOFFS = (12, 40)


def train_adaptive(steps=120, seed=0):
    """A model of stories, and its mean loss in nats before and after training."""
    torch.manual_seed(seed)
    text = "".join(story.text + "\n" for story in tell_stories(600, seed=seed))
    tokenizer = train_tokenizer("words", text.splitlines())
    ids = torch.tensor(tokenizer.encode(text))[: 16 * 600].view(16, 600).T
    V, H = tokenizer.vocab_size, 32
    embedding, lstm = torch.nn.Embedding(V, 16), torch.nn.LSTM(16, H)
    softmax = torch.nn.AdaptiveLogSoftmaxWithLoss(H, V, list(CUTOFFS), div_value=2.0)
    parameters = [p for m in (embedding, lstm, softmax) for p in m.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    losses = []
    for step in range(steps):
        at = step * 30 % 570
        y, _ = lstm(embedding(ids[at : at + 30]))
        loss = softmax(y.flatten(0, 1), ids[at + 1 : at + 31].flatten()).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    weights = {"embedding.weight": embedding.weight}
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        weights[f"layers.0.{kind}"] = getattr(lstm, f"{kind}_l0")
    # PyTorch's head has no bias unless it is asked for one.
    weights["decoder.head.bias"] = torch.zeros(softmax.head.out_features)
    weights |= {f"decoder.{name}": weight for name, weight in softmax.state_dict().items()}
    sizes = tuple(tail[0].out_features for tail in softmax.tail)
    config = Config("lstm", V, 16, H, 1, False, cutoffs=CUTOFFS, tail_sizes=sizes)
    arrays = {name: weights[name].detach().numpy().copy() for name in config.weight_shapes()}
    model = LanguageModel.from_weights(config, arrays, tokenizer)
    return model, np.mean(losses[:5]), np.mean(losses[-5:]), softmax
