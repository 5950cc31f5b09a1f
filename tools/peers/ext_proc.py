#!/usr/bin/env python3
"""Routes by an external processor: what Envoy's ext_proc filter calls for each request, running Pointsman's ONNX file.

It reads the body, takes the last message, cuts it into tokens, runs the classifier, picks one of two backends by its
difficulty, names that one's cluster in a header and its model in the body. It does less than Pointsman: the n-grams and
the numeric features that the classifier also reads have no implementation in Python, and are left at zero; there are no
rules, prices or metrics.

Set up as gRPC and ONNX Runtime advise for a service with one core: asyncio
(https://grpc.io/docs/guides/performance/#python), one thread for the model and none that spins
(https://onnxruntime.ai/docs/performance/tune-performance/threading.html), a Unix socket instead of TCP.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as messages
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as services
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

# As many bytes of a turn as Pointsman's classifier reads from its beginning.
LONGEST_TEXT = 2048
APPEND_OR_OVERWRITE = base_pb2.HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD


class Classifier:
    """Pointsman's ONNX file, and the tokens that it reads."""

    def __init__(self, models: Path) -> None:
        manifest = json.loads((models / "manifest.json").read_text(encoding="utf-8"))
        heads = {head["name"]: head["start"] for head in manifest["outputs"][0]["ranges"]}
        self.difficulty = heads["difficulty"]
        self.usual = manifest["calibration"]["difficulty_mean"]
        entries = (models / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
        vocabulary = {entry: number for number, entry in enumerate(entries) if entry}
        self.tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
        self.tokenizer.normalizer = BertNormalizer(lowercase=True)
        self.tokenizer.pre_tokenizer = BertPreTokenizer()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            str(models / "classifier.onnx"), options, providers=["CPUExecutionProvider"]
        )
        types = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
        self.inputs = {tensor.name: np.zeros(tensor.shape, types[tensor.type]) for tensor in self.session.get_inputs()}

    def is_hard(self, text: str) -> bool:
        """Whether the text is harder than the average prompt."""
        ids, weights = self.inputs["token_ids"], self.inputs["token_weights"]
        tokens = self.tokenizer.encode(text[:LONGEST_TEXT], add_special_tokens=False).ids[: ids.shape[0]]
        ids[:] = 0
        weights[:] = 0
        ids[: len(tokens)] = tokens
        weights[0, : len(tokens)] = 1 / max(len(tokens), 1)
        (heads,) = self.session.run(None, self.inputs)
        return bool(heads[0, self.difficulty] > self.usual)


def last_text(chat: dict[str, Any]) -> str:
    """The last message's text."""
    content = (chat.get("messages") or [{}])[-1].get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


class Processor(services.ExternalProcessorServicer):
    """Answers Envoy."""

    def __init__(self, classifier: Classifier, easy: str, hard: str) -> None:
        self.classifier = classifier
        self.backends = {False: easy, True: hard}

    # The method's name in the protocol.
    async def Process(  # noqa: N802
        self, request_iterator: AsyncIterator[messages.ProcessingRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[messages.ProcessingResponse]:
        """One stream for each of Envoy's requests: its headers, then its body."""
        async for request in request_iterator:
            if request.WhichOneof("request") == "request_body":
                yield self.route(request.request_body.body)
            else:
                yield messages.ProcessingResponse(request_headers=messages.HeadersResponse())

    def route(self, body: bytes) -> messages.ProcessingResponse:
        """Where a request goes, and its new body."""
        chat = json.loads(body)
        backend = self.backends[self.classifier.is_hard(last_text(chat))]
        chat["model"] = backend
        changed = json.dumps(chat, separators=(",", ":"), ensure_ascii=False).encode()
        headers = {"x-peer-cluster": backend, "content-length": str(len(changed))}
        options = [
            base_pb2.HeaderValueOption(
                header=base_pb2.HeaderValue(key=name, raw_value=value.encode()), append_action=APPEND_OR_OVERWRITE
            )
            for name, value in headers.items()
        ]
        common = messages.CommonResponse(
            status=messages.CommonResponse.CONTINUE,
            header_mutation=messages.HeaderMutation(set_headers=options),
            body_mutation=messages.BodyMutation(body=changed),
            clear_route_cache=True,
        )
        return messages.ProcessingResponse(request_body=messages.BodyResponse(response=common))


async def serve(socket: Path, processor: Processor) -> None:
    """Serves until the process is ended."""
    # Envoy holds bodies and sends each in one message: the default limit of 4 MB is far above those of the benchmark.
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    services.add_ExternalProcessorServicer_to_server(processor, server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    print("listening", flush=True)
    await server.wait_for_termination()


def main() -> None:
    """Reads the arguments and serves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("socket", type=Path)
    parser.add_argument("models", type=Path)
    parser.add_argument("--easy", required=True, help="cluster and model of easy prompts")
    parser.add_argument("--hard", required=True, help="cluster and model of hard prompts")
    args = parser.parse_args()
    asyncio.run(serve(args.socket, Processor(Classifier(args.models), args.easy, args.hard)))


if __name__ == "__main__":
    main()
