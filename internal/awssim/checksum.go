package awssim

import (
	"crypto/md5"  //nolint:gosec // S3 accepts it as a checksum of the body
	"crypto/sha1" //nolint:gosec // S3 accepts it as a checksum of the body
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
)

// checksums are the headers that carry a checksum of the body, base64-encoded. Source: Amazon S3 User Guide, "Checking
// object integrity".
var checksums = map[string]func() hash.Hash{
	"Content-Md5":              md5.New,
	"X-Amz-Checksum-Crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"X-Amz-Checksum-Crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"X-Amz-Checksum-Crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
	"X-Amz-Checksum-Sha1":      sha1.New,
	"X-Amz-Checksum-Sha256":    sha256.New,
}

// checkBody refuses a body that does not match its checksum, and one without a checksum where S3 requires it.
func (c *call) checkBody() *apiError {
	if !c.op.checksum {
		return nil
	}
	found := false
	for _, header := range keys(checksums) {
		stated := c.http.Header.Get(header)
		if stated == "" {
			continue
		}
		sum := checksums[header]()
		_, _ = sum.Write(c.body) // a hash never fails
		if base64.StdEncoding.EncodeToString(sum.Sum(nil)) != stated {
			return refuse(http.StatusBadRequest, "BadDigest", "The "+header+" you specified did not match the calculated checksum.")
		}
		found = true
	}
	if !found {
		return refuse(http.StatusBadRequest, "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
	}
	return nil
}
