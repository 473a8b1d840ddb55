// Command frames compresses the golden text (see plainText in golden.test.ts) with the codecs of franz-go and prints
// {"name", "codec", "base64"} lines. Run it in a module that requires github.com/twmb/franz-go v1.22.
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	var text bytes.Buffer
	for i := 0; i < 5000; i++ {
		fmt.Fprintf(&text, "line %d of the golden text\n", i%89)
	}
	for _, codec := range []struct {
		name  string
		codec kgo.CompressionCodec
	}{{"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()}, {"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()}} {
		compressor, err := kgo.DefaultCompressor(codec.codec)
		if err != nil {
			panic(err)
		}
		out, number := compressor.Compress(new(bytes.Buffer), text.Bytes(), kgo.CompressFlag(0))
		fmt.Printf("{\"name\":\"franz-go %s\",\"codec\":%d,\"base64\":\"%s\"}\n", codec.name, number, base64.StdEncoding.EncodeToString(out))
	}
}
