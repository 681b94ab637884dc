"""Golden logits of torchvision's mc3_18 and r2plus1d_18 (one-channel stem, two outputs), weights by formula."""

import torch

import formula
import golden

SHAPES = {"odd": (2, 1, 24, 33, 40), "cube48": (1, 1, 48, 48, 48)}


def main():
    arrays, parameters = {}, {"shapes": SHAPES}
    for network in ("mc3_18", "r2plus1d_18"):
        model = formula.video(network).eval()
        parameters[f"total_{network}"] = sum(p.numel() for p in model.parameters())
        with torch.no_grad():
            for name, shape in SHAPES.items():
                x = torch.from_numpy(formula.volume(name, shape))
                arrays[f"logits_{network}_{name}"] = model(x).numpy()
            model.train()
            x = torch.from_numpy(formula.volume("odd", SHAPES["odd"]))
            arrays[f"logits_train_{network}"] = model(x).numpy()
    golden.save(
        "models", "video_networks", arrays, generator=__file__, tools=["torch", "torchvision"],
        parameters=parameters,
    )


if __name__ == "__main__":
    main()
