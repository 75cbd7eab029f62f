"""What tests of training share."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tests run side by side: were each to use all cores, small networks would wait for threads."""
    torch.set_num_threads(1)
