"""Fails where there is no NVIDIA GPU, and says why. Asks the driver, and needs nothing else."""

import ctypes
import sys


def main():
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        sys.exit("there is no NVIDIA driver on this machine (libcuda.so.1 was not found)")
    count = ctypes.c_int()
    if code := driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        sys.exit(f"there is an NVIDIA driver, but no GPU that it can use: error {code}")
    if not count.value:
        sys.exit("there is an NVIDIA driver, but no GPU")


main()
