"""Reads a request of OTLP in JSON from its standard input by OpenTelemetry's own messages, which know every member and
its type, and prints what it has understood."""

import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

request = json_format.Parse(sys.stdin.read(), ExportMetricsServiceRequest())
json.dump(json_format.MessageToDict(request), sys.stdout)
