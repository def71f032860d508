"""`obverse export`: a trained detector as one ONNX file."""

import dataclasses
import json
from pathlib import Path

import click

__all__ = ["export"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The .onnx file to write.",
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export(run: Path, output: Path, force: bool, as_json: bool) -> None:
    """Write a trained detector as ONNX, checked against torch.

    Beside NAME.onnx come NAME.json (settings, calibration) and NAME.card.yaml; obverse detect takes
    the .onnx file as its --run. A fusion becomes NAME.json with a NAME-0.onnx for each member.

    Example:

        obverse export run -o model.onnx
    """
    from obverse.detector.export import export as export_run

    report = export_run(run, output, force=force)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), default=str))
    else:
        shapes = ", ".join(
            f"{name} [N, {str(shape)[1:]}" if shape else name
            for name, shape in report.inputs.items()
        )
        click.echo(
            f"{output}: {report.bytes / 1e6:.1f} MB, {shapes}; logits differ from torch's by at "
            f"most {report.difference:.1g}"
        )
