//! What the feature `cuda` needs besides Rust: the kernels for all processors in one file, and stand-ins for NVIDIA's libraries. Without the
//! feature there is nothing to do.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    cuda::build();
}

#[cfg(feature = "cuda")]
mod cuda {
    use std::env;
    use std::fmt::Write as _;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// Compute capabilities that get machine code. The first one's PTX is in the file, too, for those in between and to come.
    const CAPABILITIES: [&str; 7] = ["75", "80", "86", "89", "90", "100", "120"];
    /// Those of `cuda/modules.rs`.
    const KERNELS: [&str; 4] = ["picture", "audio", "face", "difference"];
    /// NVIDIA's libraries that candle and cudarc call. The runtime is not among them: it is linked, and looks for the driver by itself.
    const LIBRARIES: [&str; 5] = ["cuda", "nvrtc", "curand", "cublas", "cublasLt"];

    pub fn build() {
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
        println!("cargo:rerun-if-env-changed=NVCC");
        let nvcc = PathBuf::from(env::var_os("NVCC").unwrap_or_else(|| "nvcc".into()));
        kernels(&nvcc, &out);
        stand_ins(&out);
        runtime(&nvcc, &out);
    }

    /// CUDA's runtime, which candle's kernels are started with, from the compiler's own directory. By this name the linker finds it where a shared
    /// one is asked for.
    fn runtime(nvcc: &Path, out: &Path) {
        let places =
            nvcc.parent().and_then(Path::parent).into_iter().flat_map(|root| [root.join("lib"), root.join("lib64")]);
        let found = places.map(|place| place.join("libcudart_static.a")).find(|file| file.exists());
        match found {
            Some(file) => {
                fs::copy(file, out.join("libcudart.a")).expect("a file in OUT_DIR");
            }
            None => println!(
                "cargo:warning=there is no libcudart_static.a beside {}; the linker has to find libcudart",
                nvcc.display()
            ),
        }
    }

    /// Compiles each file of `kernels/` to a fat binary.
    fn kernels(nvcc: &Path, out: &Path) {
        println!("cargo:rerun-if-changed=kernels");
        for kernel in KERNELS {
            let mut command = Command::new(nvcc);
            command.args(["--fatbin", "-std=c++17", "-O3", "-Werror", "all-warnings", "-o"]);
            command.arg(out.join(kernel).with_extension("fatbin"));
            for capability in CAPABILITIES {
                command.arg(format!("-gencode=arch=compute_{capability},code=sm_{capability}"));
            }
            command.arg(format!("-gencode=arch=compute_{0},code=compute_{0}", CAPABILITIES[0]));
            command.arg(Path::new("kernels").join(kernel).with_extension("cu"));
            let status = command.status().unwrap_or_else(|error| {
                panic!("{} cannot be run: {error}; tools/cuda_kernels.sh fetches it, see docs/cuda.md", nvcc.display())
            });
            assert!(status.success(), "kernels/{kernel}.cu does not compile");
        }
    }

    /// For each library an archive whose functions jump to what `cuda/libraries.rs` finds when it is asked for a device: so a program that is
    /// linked with them starts where there are none.
    fn stand_ins(out: &Path) {
        let mut tables = String::new();
        for library in LIBRARIES {
            let path = format!("cuda/{library}.txt");
            println!("cargo:rerun-if-changed={path}");
            let names = fs::read_to_string(&path).expect("the list of a library's functions");
            let names: Vec<&str> = names.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
            let mut source = String::from("#include <stddef.h>\nstatic int missing(void) { return MISSING; }\n");
            for name in &names {
                // Hidden, so that the processor's own jump needs no table of the loader.
                let _ = writeln!(
                    source,
                    "__attribute__((visibility(\"hidden\"))) void *emotion_llama_{name} = (void *)missing;"
                );
                let _ = writeln!(source, "__asm__(JUMP({name}));");
            }
            let table = format!("emotion_llama_{library}_functions");
            let _ = writeln!(source, "struct function {{ const char *name; void **at; }};");
            let _ = writeln!(source, "const struct function {table}[] = {{");
            for name in &names {
                let _ = writeln!(source, "{{\"{name}\", &emotion_llama_{name}}},");
            }
            source.push_str("};\n");
            let file = out.join(format!("{library}.c"));
            fs::write(&file, format!("{JUMP}{source}")).expect("a file in OUT_DIR");
            // What each library says of a function that is not there.
            let missing = match library {
                "cuda" => "100",   // CUDA_ERROR_NO_DEVICE
                "nvrtc" => "11",   // NVRTC_ERROR_INTERNAL_ERROR
                "curand" => "101", // CURAND_STATUS_NOT_INITIALIZED
                _ => "1",          // CUBLAS_STATUS_NOT_INITIALIZED
            };
            cc::Build::new()
                .file(&file)
                .define("MISSING", missing)
                .flag_if_supported("-fvisibility=hidden")
                .compile(library);
            let _ = writeln!(tables, "pub const {}: usize = {};", library.to_uppercase(), names.len());
        }
        fs::write(out.join("functions.rs"), tables).expect("a file in OUT_DIR");
    }

    /// In the section of code whatever the compiler was in: without optimisation that is the data's, which cannot be run.
    const JUMP: &str = r#"
#if defined(__x86_64__)
#define JUMP(name) ".pushsection .text\n.globl " #name "\n.hidden " #name "\n.type " #name ", @function\n" #name ":\n jmp *emotion_llama_" #name "(%rip)\n.popsection\n"
#elif defined(__aarch64__)
#define JUMP(name) ".pushsection .text\n.globl " #name "\n.hidden " #name "\n.type " #name ", %function\n" #name ":\n adrp x16, emotion_llama_" #name "\n ldr x16, [x16, #:lo12:emotion_llama_" #name "]\n br x16\n.popsection\n"
#else
#error "CUDA is for x86-64 and aarch64"
#endif
"#;
}
