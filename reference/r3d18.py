"""Golden logits of torchvision's r3d_18 (one-channel stem, two outputs), weights by formula."""

import torch

import formula
import golden

SHAPES = {"odd": (2, 1, 24, 33, 40), "cube48": (1, 1, 48, 48, 48), "cube128": (1, 1, 128, 128, 128)}


def main():
    torch.manual_seed(0)
    model = formula.r3d18().eval()
    trainable = sum(p.numel() for part in (model.layer4, model.fc) for p in part.parameters())
    arrays = {}
    with torch.no_grad():
        for name, shape in SHAPES.items():
            x = torch.from_numpy(formula.volume(name, shape))
            arrays[f"logits_{name}"] = model(x).numpy()
            if name != "cube128":
                trunk = model.layer3(model.layer2(model.layer1(model.stem(x))))
                arrays[f"trunk_{name}"] = trunk[:, :3].numpy()
        model.train()
        arrays["logits_train_odd"] = model(torch.from_numpy(formula.volume("odd", SHAPES["odd"]))).numpy()
        for buffer in ("stem.1.running_mean", "stem.1.running_var", "layer3.1.conv2.1.running_var", "layer4.1.conv2.1.running_var"):
            arrays[buffer] = model.state_dict()[buffer].numpy()
    golden.save(
        "models", "r3d18", arrays, generator=__file__, tools=["torch", "torchvision"],
        parameters={
            "total": sum(p.numel() for p in model.parameters()),
            "trainable": trainable,
            "shapes": SHAPES,
        },
    )


if __name__ == "__main__":
    main()
