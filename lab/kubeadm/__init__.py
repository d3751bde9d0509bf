"""kubeadm of the lab: its words, its checks, its order of things and its oddities, as recorded."""
