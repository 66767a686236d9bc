package awssim

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
)

// s3Protocol is restXml as S3 speaks it, with the bucket in the path.
type s3Protocol struct{}

// s3Target is what an S3 request addresses.
type s3Target struct {
	bucket, key string
	query       url.Values
}

// s3Reply is the successful answer of an S3 operation.
type s3Reply struct {
	status int
	header http.Header
	body   any    // XML, with its own root element
	text   []byte // instead of body: a document that is not XML
}

// bucketRoutes are the operations on a bucket by method and the query parameter that selects them.
var bucketRoutes = map[string]map[string]string{
	http.MethodGet: {
		"location": "GetBucketLocation", "tagging": "GetBucketTagging", "policy": "GetBucketPolicy",
		"publicAccessBlock": "GetPublicAccessBlock", "list-type": "ListObjectsV2", "versions": "ListObjectVersions",
	},
	http.MethodPut: {
		"": "CreateBucket", "tagging": "PutBucketTagging", "policy": "PutBucketPolicy", "publicAccessBlock": "PutPublicAccessBlock",
	},
	http.MethodDelete: {
		"": "DeleteBucket", "tagging": "DeleteBucketTagging", "policy": "DeleteBucketPolicy",
		"publicAccessBlock": "DeletePublicAccessBlock",
	},
	http.MethodPost: {"delete": "DeleteObjects"},
	http.MethodHead: {"": "HeadBucket"},
}

// listParameters do not select an operation.
var listParameters = map[string]bool{
	"x-id": true, "prefix": true, "max-keys": true, "continuation-token": true, "start-after": true, "encoding-type": true,
	"fetch-owner": true, "delimiter": true,
	"key-marker": true, "version-id-marker": true,
}

func (p s3Protocol) decode(c *call) *apiError {
	c.input = map[string]any{}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(c.http.URL.Path, "/"), "/")
	c.s3 = s3Target{bucket: bucket, key: key, query: c.http.URL.Query()}
	if bucket == "" {
		if c.http.Method == http.MethodGet {
			c.name = "ListBuckets"
			return nil
		}
		return p.unknown(c)
	}
	if key != "" {
		if c.http.Method == http.MethodDelete && !c.s3.query.Has("tagging") {
			c.name = "DeleteObject"
			return nil
		}
		return p.unknown(c)
	}
	selector := ""
	for name := range c.s3.query {
		if !listParameters[name] {
			selector = name
		}
	}
	c.name = bucketRoutes[c.http.Method][selector]
	if c.name == "" {
		return p.unknown(c)
	}
	return nil
}

func (p s3Protocol) invalid(_ *call, found []violation) *apiError {
	return refuse(http.StatusBadRequest, "InvalidArgument", describe(found))
}

func (p s3Protocol) mistyped(_ *call, wrong *wrongType) *apiError {
	return refuse(http.StatusBadRequest, "MalformedXML", "The value at '"+wrong.path+"' is not a "+wrong.want+".")
}

func (p s3Protocol) unknown(c *call) *apiError {
	return refuse(http.StatusBadRequest, "InvalidRequest",
		"The simulator has no operation for "+c.http.Method+" "+c.http.URL.RequestURI()+".")
}

func (p s3Protocol) refusal(_ *call, kind refusalKind, message string) *apiError {
	switch kind {
	case accessDenied:
		return refuse(http.StatusForbidden, "AccessDenied", message)
	case unknownKey:
		return refuse(http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
	case expiredToken:
		return refuse(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
	case incompleteSignature, wrongScope:
		return refuse(http.StatusBadRequest, "AuthorizationHeaderMalformed", message)
	case skewedClock:
		return refuse(http.StatusForbidden, "RequestTimeTooSkewed",
			"The difference between the request time and the current time is too large.")
	case throttled:
		return refuse(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
	case internalError:
		return refuse(http.StatusInternalServerError, "InternalError", message)
	case unavailable:
		return refuse(http.StatusServiceUnavailable, "ServiceUnavailable", message)
	}
	return refuse(http.StatusForbidden, "SignatureDoesNotMatch", message)
}

func (p s3Protocol) succeed(c *call, out any) *response {
	reply, _ := out.(s3Reply)
	header := p.header(c)
	for name, values := range reply.header {
		header[name] = values
	}
	if reply.status == 0 {
		reply.status = http.StatusOK
	}
	body := reply.text
	if reply.body != nil {
		encoded, err := xml.Marshal(reply.body)
		must(err)
		body = append([]byte(xml.Header), encoded...)
	}
	return &response{status: reply.status, header: header, body: body}
}

func (p s3Protocol) fail(c *call, e *apiError) *response {
	header := p.header(c)
	for name, values := range e.header {
		header[name] = values
	}
	if c.http.Method == http.MethodHead {
		return &response{status: e.status, header: header} // an answer to HEAD has no body, not even for an error
	}
	body, err := xml.Marshal(struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Resource  string
		RequestID string `xml:"RequestId"`
	}{Code: e.code, Message: e.message, Resource: c.http.URL.Path, RequestID: c.requestID})
	must(err)
	return &response{status: e.status, header: header, body: append([]byte(xml.Header), body...)}
}

func (p s3Protocol) header(c *call) http.Header {
	return http.Header{"Content-Type": {"application/xml"}, "X-Amz-Request-Id": {c.requestID}}
}
