"""Clips of dancers, as in Kinetics or in a table of links, brought into the layout of `d2m.data.layout`.

Beside motions, music and lists: root/landmarks/NAME.npz (what was seen), root/frames/NAME.npy (small grey pictures),
root/labels.csv (class, split and genre of every clip), root/downloads (films that links led to).
"""
