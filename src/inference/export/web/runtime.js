// Where onnxruntime-web lies. `export` writes this file anew: this folder for a copy of it, else the address of a CDN.
export const runtime = "./runtime/";
