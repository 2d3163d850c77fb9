# For a shell to read: what cargo needs for the feature `cuda`, from the compiler that tools/cuda_kernels.sh has fetched, or one that NVCC names.
toolkit=$(echo "$PWD/${BUILD_CUDA:-build/cuda}"/venv/lib/python3*/site-packages/nvidia/cu13)
[ -z "${BUILD_CUDA:-}" ] || toolkit=$(echo "$BUILD_CUDA"/venv/lib/python3*/site-packages/nvidia/cu13)
export NVCC=${NVCC:-$toolkit/bin/nvcc}
# candle's kernels are compiled for one compute capability, and by the driver for what is newer: for the oldest that ours are for.
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-75}
export CUDARC_CUDA_VERSION=${CUDARC_CUDA_VERSION:-13000}
# By itself candle's build script compiles on half of the processors.
export CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-$(nproc)}
