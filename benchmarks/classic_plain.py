"""The classic job as a plain script writes it: torchvision's FashionMNIST, ToTensor, DataLoader, a loop. Takes the
data's root, the number of workers; prints the test accuracy."""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

root, workers = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
train = datasets.FashionMNIST(root, train=True, transform=transforms.ToTensor())
test = datasets.FashionMNIST(root, train=False, transform=transforms.ToTensor())
network = nn.Sequential(
    nn.Conv2d(1, 6, 5), nn.Sigmoid(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(256, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10))
for layer in network:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
for _ in range(5):
    network.train()
    for images, labels in DataLoader(train, batch_size=64, shuffle=True, num_workers=workers):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
network.eval()
right = 0
with torch.no_grad():
    for images, labels in DataLoader(test, batch_size=64, num_workers=workers):
        right += int((network(images).argmax(1) == labels).sum())
print(f"{right / len(test):.4f}")
