"""Reads an export with the reader of its own tool, and prints what that found as one line of JSON: FORMAT FILE."""

import json
import os
import shutil
import sys


def codecarbon(path):
    import dataclasses

    import pandas
    from codecarbon.output_methods.emissions_data import EmissionsData
    from codecarbon.output_methods.file import FileOutput

    own = EmissionsData(**{field.name: 0 for field in dataclasses.fields(EmissionsData)})
    folder, name = os.path.split(path)
    shutil.copy(path, path + ".own.csv")
    has_valid_headers = FileOutput(name, folder).has_valid_headers(own)
    FileOutput(name + ".own.csv", folder).out(own, None)
    rows = pandas.read_csv(path + ".own.csv")
    emissions = [None if pandas.isna(kg) else kg for kg in rows.emissions]
    return {"has_valid_headers": has_valid_headers, "rows": len(rows), "emissions": emissions}


def huggingface(path):
    from huggingface_hub import ModelCard

    return ModelCard.load(path).data.to_dict()["co2_eq_emissions"]


def boamps(path):
    from codecarbon.output_methods.boamps.models import BoAmpsReport

    with open(path) as file:
        return BoAmpsReport.from_dict(json.load(file)).to_dict()


def tensorboard(path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(path)
    events.Reload()
    return {tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def otlp(path):
    from google.protobuf import json_format
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    with open(path) as file:
        request = json_format.Parse(file.read(), ExportMetricsServiceRequest())
    return [len(resource.scope_metrics[0].metrics) for resource in request.resource_metrics]


print(json.dumps(globals()[sys.argv[1]](sys.argv[2])))
