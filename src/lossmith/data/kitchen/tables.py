"""What the kitchen holds: bases, mains and styles, with their ingredients at two servings and no weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["g", "ml", "tsp", "piece"]
Method = Literal["pot", "oven", "pan"]
Region = Literal["north", "south", "east"]
Kind = Literal["vegetable", "pulse", "fish", "meat"]


@dataclass(frozen=True, slots=True)
class Food:
    """An ingredient; `amount` in `unit` for two servings. `one` is its name where a single piece is meant."""

    name: str
    amount: int
    unit: Unit
    one: str = ""


@dataclass(frozen=True, slots=True)
class Base:
    """The form of a dish: how and how hot it is cooked, and what every dish of that form holds."""

    name: str
    method: Method
    weight: int
    celsius: int
    minutes: int
    starch: Food
    liquid: Food
    aromatic: Food


@dataclass(frozen=True, slots=True)
class Main:
    """What a dish is made of, and what always goes with it."""

    name: str
    kind: Kind
    weight: int
    minutes: int
    food: Food
    companion: Food


@dataclass(frozen=True, slots=True)
class Style:
    """How a dish tastes: its spice and its second flavour."""

    name: str
    region: Region
    weight: int
    spice: Food
    flavour: Food


_CARROT = Food("carrots", 1, "piece", "carrot")
_ONION = Food("onions", 1, "piece", "onion")
_SHALLOT = Food("shallots", 2, "piece", "shallot")
_COURGETTE = Food("courgettes", 1, "piece", "courgette")

BASES = (
    Base("Stew", "pot", 0, 90, 35, Food("pearl barley", 80, "g"), Food("vegetable stock", 240, "ml"), _CARROT),
    Base("Soup", "pot", 1, 95, 20, Food("celery", 80, "g"), Food("milk", 160, "ml"), _ONION),
    Base("Curry", "pot", 2, 85, 25, Food("basmati rice", 120, "g"), Food("passata", 200, "ml"), _SHALLOT),
    Base("Casserole", "pot", 0, 80, 45, Food("butter beans", 160, "g"), Food("cider", 160, "ml"), _CARROT),
    Base("Risotto", "pan", 1, 110, 20, Food("arborio rice", 120, "g"), Food("white wine", 80, "ml"), _ONION),
    Base("Pilaf", "pan", 2, 120, 15, Food("bulgur", 120, "g"), Food("apple juice", 80, "ml"), _SHALLOT),
    Base("Noodles", "pan", 0, 130, 10, Food("udon", 120, "g"), Food("miso broth", 200, "ml"), _COURGETTE),
    Base("Pie", "oven", 1, 190, 40, Food("shortcrust", 160, "g"), Food("gravy", 120, "ml"), _CARROT),
    Base("Gratin", "oven", 2, 200, 30, Food("breadcrumbs", 40, "g"), Food("double cream", 120, "ml"), _SHALLOT),
    Base("Lasagne", "oven", 0, 180, 35, Food("pasta sheets", 120, "g"), Food("white sauce", 200, "ml"), _ONION),
    Base("Tart", "oven", 1, 210, 25, Food("puff pastry", 160, "g"), Food("buttermilk", 120, "ml"), _COURGETTE),
    Base("Bake", "oven", 2, 170, 30, Food("tortellini", 160, "g"), Food("passata", 200, "ml"), _COURGETTE),
)

MAINS = (
    Main("Mushroom", "vegetable", 0, 8, Food("mushrooms", 160, "g"), Food("hazelnuts", 40, "g")),
    Main("Pumpkin", "vegetable", 1, 15, Food("pumpkin", 200, "g"), Food("chestnuts", 40, "g")),
    Main("Aubergine", "vegetable", 2, 12, Food("aubergines", 1, "piece", "aubergine"), Food("pine nuts", 40, "g")),
    Main("Cauliflower", "vegetable", 0, 10, Food("cauliflower", 240, "g"), Food("raisins", 40, "g")),
    Main("Spinach", "vegetable", 1, 3, Food("spinach", 160, "g"), Food("feta", 80, "g")),
    Main("Fennel", "vegetable", 2, 9, Food("fennel bulbs", 1, "piece", "fennel bulb"), Food("walnuts", 40, "g")),
    Main("Chickpea", "pulse", 0, 5, Food("chickpeas", 160, "g"), Food("tahini", 2, "tsp")),
    Main("Lentil", "pulse", 1, 18, Food("lentils", 120, "g"), Food("beetroots", 1, "piece", "beetroot")),
    Main("Black Bean", "pulse", 2, 6, Food("black beans", 160, "g"), Food("sweetcorn", 80, "g")),
    Main("Pea", "pulse", 0, 4, Food("peas", 160, "g"), Food("broccoli", 80, "g")),
    Main("Cod", "fish", 1, 6, Food("cod", 240, "g"), Food("capers", 2, "tsp")),
    Main("Salmon", "fish", 2, 7, Food("salmon", 200, "g"), Food("asparagus", 80, "g")),
    Main("Prawn", "fish", 0, 4, Food("prawns", 160, "g"), Food("mango", 80, "g")),
    Main("Chicken", "meat", 1, 14, Food("chicken", 240, "g"), Food("bacon", 40, "g")),
    Main("Lamb", "meat", 2, 16, Food("lamb", 240, "g"), Food("apricots", 80, "g")),
    Main("Beef", "meat", 0, 20, Food("beef", 240, "g"), Food("stout", 120, "ml")),
)

STYLES = (
    Style("Mustard", "north", 0, Food("mustard", 2, "tsp"), Food("honey", 1, "tsp")),
    Style("Peppery", "north", 1, Food("black pepper", 1, "tsp"), Food("horseradish", 2, "tsp")),
    Style("Herbed", "north", 2, Food("thyme", 1, "tsp"), Food("bay leaves", 1, "piece", "bay leaf")),
    Style("Winter", "north", 0, Food("juniper", 1, "tsp"), Food("cranberries", 40, "g")),
    Style("Smoky", "south", 1, Food("smoked paprika", 1, "tsp"), Food("peppers", 1, "piece", "pepper")),
    Style("Harissa", "south", 2, Food("harissa", 2, "tsp"), Food("cumin", 1, "tsp")),
    Style("Tuscan", "south", 0, Food("oregano", 1, "tsp"), Food("olives", 40, "g")),
    Style("Provençal", "south", 1, Food("rosemary", 1, "tsp"), Food("tomatoes", 2, "piece", "tomato")),
    Style("Ginger", "east", 2, Food("ginger", 2, "tsp"), Food("soy sauce", 2, "tsp")),
    Style("Coconut", "east", 0, Food("turmeric", 1, "tsp"), Food("coconut cream", 80, "ml")),
    Style("Chilli", "east", 1, Food("chilli flakes", 1, "tsp"), Food("star anise", 1, "piece", "star anise")),
    Style("Tamarind", "east", 2, Food("tamarind paste", 2, "tsp"), Food("peanuts", 40, "g")),
)

# The fat follows the method and the region, the garnish the kind of main and the region: no part alone tells them.
FATS: Mapping[tuple[Method, Region], Food] = {
    ("pot", "north"): Food("butter", 20, "g"),
    ("pot", "south"): Food("olive oil", 2, "tsp"),
    ("pot", "east"): Food("ghee", 20, "g"),
    ("oven", "north"): Food("rapeseed oil", 2, "tsp"),
    ("oven", "south"): Food("butter", 20, "g"),
    ("oven", "east"): Food("sesame oil", 2, "tsp"),
    ("pan", "north"): Food("goose fat", 20, "g"),
    ("pan", "south"): Food("rapeseed oil", 2, "tsp"),
    ("pan", "east"): Food("olive oil", 2, "tsp"),
}

GARNISHES: Mapping[tuple[Kind, Region], Food] = {
    ("vegetable", "north"): Food("chives", 3, "tsp"),
    ("vegetable", "south"): Food("basil", 3, "tsp"),
    ("vegetable", "east"): Food("coriander", 3, "tsp"),
    ("pulse", "north"): Food("parsley", 3, "tsp"),
    ("pulse", "south"): Food("mint", 3, "tsp"),
    ("pulse", "east"): Food("limes", 1, "piece", "lime"),
    ("fish", "north"): Food("dill", 3, "tsp"),
    ("fish", "south"): Food("lemons", 1, "piece", "lemon"),
    ("fish", "east"): Food("chives", 3, "tsp"),
    ("meat", "north"): Food("sage", 3, "tsp"),
    ("meat", "south"): Food("parsley", 3, "tsp"),
    ("meat", "east"): Food("mint", 3, "tsp"),
}

SERVINGS = (2, 4, 6, 8)
