package awssim

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// queryProtocol is awsQuery, the protocol of STS and IAM: requests are forms, answers are XML.
type queryProtocol struct{ namespace, version string }

func (p queryProtocol) decode(c *call) *apiError {
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return refuse(http.StatusBadRequest, "MalformedQueryString", "The query string contains a syntax error.")
	}
	c.name = form.Get("Action")
	if c.name == "" {
		return refuse(http.StatusBadRequest, "MissingAction", "The request is missing an action or a required parameter.")
	}
	if form.Get("Version") != p.version {
		return p.unknown(c)
	}
	c.input = map[string]any{}
	for name, values := range form {
		if name != "Action" && name != "Version" {
			insert(c.input, strings.Split(name, "."), values[0])
		}
	}
	for name, value := range c.input {
		c.input[name] = flatten(value)
	}
	// An empty list is sent as an empty string; only the API model shows that it is a list.
	if shape := shapes[c.service+"."+c.name]; shape != nil {
		for _, f := range shape.fields {
			if first := f.path[0]; first.list && c.input[first.name] == "" {
				c.input[first.name] = []any{}
			}
		}
	}
	return nil
}

// insert puts a value at a path such as Tags.member.1.Key into a tree of maps.
func insert(tree map[string]any, path []string, value string) {
	if len(path) == 1 {
		tree[path[0]] = value
		return
	}
	child, ok := tree[path[0]].(map[string]any)
	if !ok {
		child = map[string]any{}
		tree[path[0]] = child
	}
	insert(child, path[1:], value)
}

// flatten turns {"member": {"1": …, "2": …}} into a list, recursively.
func flatten(value any) any {
	tree, ok := value.(map[string]any)
	if !ok {
		return value
	}
	members, isList := tree["member"].(map[string]any)
	if !isList || len(tree) != 1 {
		for name, child := range tree {
			tree[name] = flatten(child)
		}
		return tree
	}
	numbers := make([]int, 0, len(members))
	for key := range members {
		if n, err := strconv.Atoi(key); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	list := make([]any, 0, len(numbers))
	for _, n := range numbers {
		list = append(list, flatten(members[strconv.Itoa(n)]))
	}
	return list
}

func (p queryProtocol) invalid(_ *call, found []violation) *apiError {
	return refuse(http.StatusBadRequest, "ValidationError", describe(found))
}

func (p queryProtocol) mistyped(_ *call, wrong *wrongType) *apiError {
	return refuse(http.StatusBadRequest, "MalformedInput", "The value at '"+wrong.path+"' is not a "+wrong.want+".")
}

func (p queryProtocol) unknown(c *call) *apiError {
	return refuse(http.StatusBadRequest, "InvalidAction", "Could not find operation "+c.name+" for version "+p.version)
}

func (p queryProtocol) refusal(c *call, kind refusalKind, message string) *apiError {
	switch kind {
	case accessDenied:
		return refuse(http.StatusForbidden, "AccessDenied", message)
	case unknownKey:
		return refuse(http.StatusForbidden, "InvalidClientTokenId", message)
	case expiredToken:
		return refuse(http.StatusForbidden, "ExpiredToken", message)
	case incompleteSignature:
		return refuse(http.StatusForbidden, "IncompleteSignature", message)
	case throttled:
		return refuse(http.StatusBadRequest, "Throttling", message)
	case unavailable:
		return refuse(http.StatusServiceUnavailable, "ServiceUnavailable", message)
	case internalError:
		if c.service == "iam" {
			return refuse(http.StatusInternalServerError, "ServiceFailure", message)
		}
		return refuse(http.StatusInternalServerError, "InternalFailure", message)
	}
	return refuse(http.StatusForbidden, "SignatureDoesNotMatch", message)
}

// metadata is the end of every successful answer.
type metadata struct {
	RequestID string `xml:"RequestId"`
}

func (p queryProtocol) succeed(c *call, out any) *response {
	var body bytes.Buffer
	encoder := xml.NewEncoder(&body)
	root := xml.StartElement{Name: xml.Name{Local: c.name + "Response"},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: p.namespace}}}
	must(encoder.EncodeToken(root))
	if out != nil {
		must(encoder.EncodeElement(out, xml.StartElement{Name: xml.Name{Local: c.name + "Result"}}))
	}
	must(encoder.EncodeElement(metadata{c.requestID}, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}}))
	must(encoder.EncodeToken(root.End()))
	must(encoder.Flush())
	return &response{status: http.StatusOK, header: p.header(c), body: body.Bytes()}
}

func (p queryProtocol) fail(c *call, e *apiError) *response {
	type wireError struct {
		Type    string
		Code    string
		Message string
	}
	fault := "Sender"
	if e.status >= http.StatusInternalServerError {
		fault = "Receiver"
	}
	body, err := xml.Marshal(struct {
		XMLName   xml.Name  `xml:"ErrorResponse"`
		Namespace string    `xml:"xmlns,attr,omitempty"`
		Error     wireError `xml:"Error"`
		RequestID string    `xml:"RequestId"`
	}{Namespace: p.namespace, Error: wireError{fault, e.code, e.message}, RequestID: c.requestID})
	must(err)
	return &response{status: e.status, header: p.header(c), body: body}
}

func (p queryProtocol) header(c *call) http.Header {
	return http.Header{"Content-Type": {"text/xml"}, "X-Amzn-Requestid": {c.requestID}}
}

// must is for encodings that cannot fail: our own structures into memory.
func must(err error) {
	if err != nil {
		panic("awssim: cannot encode an answer: " + err.Error())
	}
}
