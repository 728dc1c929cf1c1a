// Address of onnxruntime-web. `export` replaces this file: the address is this directory for a copy, otherwise a CDN.
export const runtime = "./runtime/";
