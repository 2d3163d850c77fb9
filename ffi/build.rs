//! Gives the shared library that cargo links its SONAME, which holds the ABI number of `src/lib.rs`, and keeps it in memory after
//! dlclose, because its threads may outlive that. What is installed is linked by `tools/link_library.sh`, with the same options.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libemotionllama.so.1");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
