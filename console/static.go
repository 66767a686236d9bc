package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// The console's files. LICENSES.md names the source, the license and the SHA-256 of those that others wrote.
//
//go:embed static
var staticFiles embed.FS

// static serves the files under names that change with their content, so that browsers may keep them permanently.
type static struct {
	files map[string]staticFile // by the name in the address
	names map[string]string     // the name in the address, by the name of the file
}

type staticFile struct {
	kind       string
	plain, zip []byte
}

func readStatic() (static, error) {
	s := static{files: map[string]staticFile{}, names: map[string]string{}}
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return s, err
	}
	for _, entry := range entries {
		name := entry.Name()
		kind := mime.TypeByExtension(path.Ext(name))
		if path.Ext(name) == ".md" {
			continue
		}
		text, err := staticFiles.ReadFile("static/" + name)
		if err != nil {
			return s, err
		}
		if kind == "" {
			return s, fmt.Errorf("static/%s: its type is unknown", name)
		}
		var zipped bytes.Buffer
		zip, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // the level exists
		if _, err = zip.Write(text); err == nil {
			err = zip.Close()
		}
		if err != nil {
			return s, err
		}
		sum := sha256.Sum256(text)
		stem, ext := strings.TrimSuffix(name, path.Ext(name)), path.Ext(name)
		s.names[name] = stem + "." + hex.EncodeToString(sum[:6]) + ext
		s.files[s.names[name]] = staticFile{kind: kind, plain: text, zip: zipped.Bytes()}
	}
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := s.files[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", file.kind)
	w.Header().Set("Vary", "Accept-Encoding")
	text := file.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		text = file.zip
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// Static returns the address of one of the console's files.
func (p *page) Static(name string) string {
	return p.console.base + "/-/static/" + p.console.static.names[name]
}
