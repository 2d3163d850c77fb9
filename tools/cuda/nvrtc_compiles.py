"""Compiles the kernels with NVRTC, as the library does on chips that are newer than its machine code. NVRTC has no standard headers."""

import ctypes
import pathlib
import sys


def compile_source(nvrtc, source, headers, architecture):
    """Ends the program on an error, and on a warning too."""
    program = ctypes.c_void_p()
    names = (ctypes.c_char_p * len(headers))(*[header.name.encode() for header in headers])
    texts = (ctypes.c_char_p * len(headers))(*[header.read_bytes() for header in headers])
    text, name = source.read_bytes(), source.name.encode()
    if code := nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, name, len(headers), texts, names):
        sys.exit(f"nvrtc: {source.name}: error {code}")
    options = [f"--gpu-architecture=compute_{architecture}".encode(), b"--std=c++17"]
    code = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    said = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, said)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    if code or said.value.strip():
        sys.exit(f"nvrtc: {source.name} for compute_{architecture}: error {code}\n{said.value.decode()}")


def main():
    toolkit, kernels, *architectures = sys.argv[1:]
    # The library looks for its builtins by name only, and finds them where they are loaded already.
    for name in ["libnvrtc-builtins.so.*", "libnvrtc.so.*"]:
        library = next(pathlib.Path(toolkit, "lib").glob(name), None)
        if library is None:
            sys.exit(f"nvrtc: no {name} in {toolkit}/lib")
        nvrtc = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    sources = sorted(pathlib.Path(kernels).glob("*.cu"))
    headers = sorted(pathlib.Path(kernels).glob("*.cuh"))
    for source in sources:
        for architecture in architectures:
            compile_source(nvrtc, source, headers, architecture)
    print(f"nvrtc: {len(sources)} sources for {len(architectures)} architectures")


main()
