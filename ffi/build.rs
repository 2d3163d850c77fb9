//! Gives the shared library its SONAME, which holds the ABI number of `src/lib.rs`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libemotionllama.so.1");
    }
}
