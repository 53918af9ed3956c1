"""Write a few test pictures of a run's data set as PNG files, so that there is something to predict on."""

import sys
from pathlib import Path

from lensmith.base.pictures import to_pil
from lensmith.engine.run_folder import Run
from lensmith.recipe.open_data import open_data
from lensmith.recipe.run_recipe import recipe_of_run

run, folder, number = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
test = open_data(recipe_of_run(Run.open(run), module=None, data=None, trusted=False)).splits["test"]
folder.mkdir(parents=True)
for i in range(number):
    sample = test[i]
    name = test.classes["label"][int(sample.targets["label"].index)]
    to_pil(sample.image).save(folder / f"{i}-{''.join(c if c.isalnum() else '-' for c in name.lower())}.png")
