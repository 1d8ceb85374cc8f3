{
  "targets": [{
    "target_name": "swish",
    "sources": ["swish.cc"],
    # In a project of your own: "<!(node -p \"require.resolve('gptloom/package.json')\")/../native"
    "include_dirs": ["../../native"],
    "cflags_cc": ["-std=c++17", "-O3"]
  }]
}
