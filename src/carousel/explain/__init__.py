"""The lens and the drawings together: explanations, comparisons of models, HTML, notebooks."""
