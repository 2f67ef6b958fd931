"""The gallery widget: images of an evaluation, each with a field to correct its label."""
