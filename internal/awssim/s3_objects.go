package awssim

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const maxObjectsAPage = 1000

// States of a bucket's versioning. The state of a bucket that never had it is "".
const (
	VersioningEnabled   = "Enabled"
	VersioningSuspended = "Suspended"
)

// nullVersion is the id of a version that was written while the bucket had no versioning, or had it suspended.
const nullVersion = "null"

// completeVersions updates the current objects of a bucket from its versions. An object without a version is from before versioning was
// enabled.
func (b *Bucket) completeVersions() error {
	switch b.Versioning {
	case "":
		if len(b.Versions) > 0 {
			return fmt.Errorf("versions need versioning %q or %q: without it a bucket has only objects",
				VersioningEnabled, VersioningSuspended)
		}
		return nil
	case VersioningEnabled, VersioningSuspended:
	default:
		return fmt.Errorf("versioning %q must be %q, %q or absent", b.Versioning, VersioningEnabled, VersioningSuspended)
	}
	for _, key := range keys(b.Objects) {
		if _, known := b.Versions[key]; !known {
			put(&b.Versions, key, []ObjectVersion{{ID: nullVersion, Size: b.Objects[key]}})
		}
	}
	for _, key := range keys(b.Versions) {
		seen := map[string]bool{}
		for _, v := range b.Versions[key] {
			if v.ID == "" || seen[v.ID] {
				return fmt.Errorf("versions of %q: id %q must be given and be there once", key, v.ID)
			}
			seen[v.ID] = true
		}
		b.showCurrent(key)
	}
	return nil
}

// showCurrent makes the newest version of a key its current object. A delete marker hides the key.
func (b *Bucket) showCurrent(key string) {
	all := b.Versions[key]
	if len(all) == 0 {
		delete(b.Versions, key)
	}
	if len(all) == 0 || all[0].DeleteMarker {
		delete(b.Objects, key)
		return
	}
	put(&b.Objects, key, all[0].Size)
}

// push makes a version the newest one of its key. While versioning is suspended, it replaces the null version.
func (b *Bucket) push(s *Sim, key string, v ObjectVersion) ObjectVersion {
	v.ID = nullVersion
	if b.Versioning == VersioningEnabled {
		v.ID = s.id("", 32)
	}
	older := slices.DeleteFunc(slices.Clone(b.Versions[key]), func(old ObjectVersion) bool { return old.ID == v.ID })
	put(&b.Versions, key, append([]ObjectVersion{v}, older...))
	b.showCurrent(key)
	return v
}

// write stores an object.
func (b *Bucket) write(s *Sim, key string, size int) {
	if b.Versioning == "" {
		put(&b.Objects, key, size)
		return
	}
	b.push(s, key, ObjectVersion{Size: size})
}

// remove deletes an object as S3 does. Without an id, a versioned bucket gets a delete marker, even for a key that it does not have. With
// an id, that version is deleted permanently. remove returns the version that was added or deleted, if any.
func (b *Bucket) remove(s *Sim, key, id string) (v ObjectVersion, what string) {
	switch {
	case id == "" && b.Versioning != "":
		return b.push(s, key, ObjectVersion{DeleteMarker: true}), "hidden by a delete marker"
	case b.Versioning != "":
		at := slices.IndexFunc(b.Versions[key], func(v ObjectVersion) bool { return v.ID == id })
		if at < 0 {
			return ObjectVersion{}, ""
		}
		v = b.Versions[key][at]
		b.Versions[key] = slices.Delete(b.Versions[key], at, at+1)
		b.showCurrent(key)
		if v.DeleteMarker {
			return v, "delete marker deleted"
		}
		return v, "version deleted"
	}
	if _, ok := b.Objects[key]; !ok || id != "" && id != nullVersion {
		return ObjectVersion{}, ""
	}
	delete(b.Objects, key)
	return ObjectVersion{}, "deleted"
}

// maxKeys is the size of the page that a list asks for.
func (c *call) maxKeys() (int, *apiError) {
	if c.s3.query.Get("delimiter") != "" {
		return 0, refuse(http.StatusBadRequest, "InvalidArgument", "The simulator lists objects without delimiters only")
	}
	text := c.s3.query.Get("max-keys")
	if text == "" {
		return maxObjectsAPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, refuse(http.StatusBadRequest, "InvalidArgument", "Provided max-keys not an integer or within integer range")
	}
	return min(n, maxObjectsAPage), nil
}

// listObjects lists the current objects: since 2020, S3 lists objects with strong consistency.
func listObjects(c *call) (any, *apiError) {
	type object struct {
		Key, LastModified, ETag string
		Size                    int
		StorageClass            string
	}
	_, bucket, refused := c.open(false)
	if refused != nil {
		return nil, refused
	}
	query := c.s3.query
	limit, refused := c.maxKeys()
	if refused != nil {
		return nil, refused
	}
	after := max(query.Get("start-after"), query.Get("continuation-token"))
	out := struct {
		XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
		Name, Prefix          string
		KeyCount, MaxKeys     int
		IsTruncated           bool
		NextContinuationToken string   `xml:",omitempty"`
		Contents              []object `xml:"Contents"`
	}{Name: c.s3.bucket, Prefix: query.Get("prefix"), MaxKeys: limit}
	for _, key := range keys(bucket.Objects) {
		if key <= after || !strings.HasPrefix(key, out.Prefix) {
			continue
		}
		if out.KeyCount == limit {
			out.IsTruncated = true
			if limit > 0 {
				out.NextContinuationToken = out.Contents[limit-1].Key
			}
			break
		}
		out.Contents = append(out.Contents, object{key, timestamp(bucket.Created), etag(key), bucket.Objects[key], "STANDARD"})
		out.KeyCount++
	}
	return s3Reply{body: out}, nil
}

// versionXML is a version or a delete marker in a list; the name of its element distinguishes them.
type versionXML struct {
	XMLName      xml.Name
	Key          string
	VersionID    string `xml:"VersionId"`
	IsLatest     bool
	LastModified string
	ETag         string `xml:",omitempty"`
	Size         *int   `xml:",omitempty"`
	StorageClass string `xml:",omitempty"`
}

// listObjectVersions lists the versions by key, the newest of a key first.
func listObjectVersions(c *call) (any, *apiError) {
	_, bucket, refused := c.open(false)
	if refused != nil {
		return nil, refused
	}
	limit, refused := c.maxKeys()
	if refused != nil {
		return nil, refused
	}
	query := c.s3.query
	keyMarker, idMarker := query.Get("key-marker"), query.Get("version-id-marker")
	if idMarker != "" && keyMarker == "" {
		return nil, refuse(http.StatusBadRequest, "InvalidArgument", "A version-id marker cannot be specified without a key marker.")
	}
	out := struct {
		XMLName             xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListVersionsResult"`
		Name, Prefix        string
		KeyMarker           string
		VersionIDMarker     string `xml:"VersionIdMarker"`
		MaxKeys             int
		IsTruncated         bool
		NextKeyMarker       string `xml:",omitempty"`
		NextVersionIDMarker string `xml:"NextVersionIdMarker,omitempty"`
		Versions            []versionXML
	}{Name: c.s3.bucket, Prefix: query.Get("prefix"), KeyMarker: keyMarker, VersionIDMarker: idMarker, MaxKeys: limit}
	for _, v := range bucket.versionList() {
		if v.Key < keyMarker || !strings.HasPrefix(v.Key, out.Prefix) {
			continue
		}
		if v.Key == keyMarker && bucket.listed(keyMarker, idMarker, v.VersionID) {
			continue
		}
		if n := len(out.Versions); n == limit {
			out.IsTruncated = true
			if n > 0 {
				out.NextKeyMarker, out.NextVersionIDMarker = out.Versions[n-1].Key, out.Versions[n-1].VersionID
			}
			break
		}
		out.Versions = append(out.Versions, v)
	}
	return s3Reply{body: out}, nil
}

// versionList returns all versions and delete markers of a bucket in the order of a list. Without versioning, each object has one
// version, whose id is "null".
func (b *Bucket) versionList() []versionXML {
	all := b.Versions
	if b.Versioning == "" {
		for key, size := range b.Objects {
			put(&all, key, []ObjectVersion{{ID: nullVersion, Size: size}})
		}
	}
	var list []versionXML
	for _, key := range keys(all) {
		for i, v := range all[key] {
			entry := versionXML{
				XMLName: xml.Name{Local: "Version"}, Key: key, VersionID: v.ID,
				IsLatest: i == 0, LastModified: timestamp(b.Created),
			}
			if v.DeleteMarker {
				entry.XMLName.Local = "DeleteMarker"
			} else {
				entry.ETag, entry.Size, entry.StorageClass = etag(key), &v.Size, "STANDARD"
			}
			list = append(list, entry)
		}
	}
	return list
}

// listed reports whether an earlier page, which ended at a key's version idMarker, has shown the version id. If the marker's version is
// deleted, no version counts as shown: a page may repeat a version but must not miss one.
func (b *Bucket) listed(key, idMarker, id string) bool {
	if idMarker == "" {
		return true // the page after a key alone begins with the next key
	}
	place := func(id string) int {
		return slices.IndexFunc(b.Versions[key], func(v ObjectVersion) bool { return v.ID == id })
	}
	return place(id) <= place(idMarker)
}

func etag(key string) string { return fmt.Sprintf(`"%032x"`, len(key)) }

// removal returns the permission to delete an object, or one of its versions.
func (c *call) removal(key, id string) question {
	q := question{action: "s3:DeleteObject", resource: "arn:aws:s3:::" + c.s3.bucket + "/" + key}
	if id != "" {
		q.action, q.context = "s3:DeleteObjectVersion", map[string][]string{"s3:versionid": {id}}
	}
	return q
}

func needsDeleteObject(c *call) []question {
	return []question{c.removal(c.s3.key, c.s3.query.Get("versionId"))}
}

// removeObject deletes an object, or a version of it, from the draft of the bucket.
func (c *call) removeObject(owner, key, id string) ObjectVersion {
	draft := c.draft(owner)
	bucket := draft.Buckets[c.s3.bucket]
	v, what := bucket.remove(c.sim, key, id)
	draft.Buckets[c.s3.bucket] = bucket
	if what != "" {
		c.effectIn(owner, "object/"+c.s3.bucket+"/"+key, what)
	}
	return v
}

// deleteObject succeeds for a key or version that does not exist, as S3 does.
func deleteObject(c *call) (any, *apiError) {
	owner, _, refused := c.open(false)
	if refused != nil {
		return nil, refused
	}
	id := c.s3.query.Get("versionId")
	v := c.removeObject(owner, c.s3.key, id)
	header := http.Header{}
	if v.ID != "" {
		header.Set("X-Amz-Version-Id", v.ID)
	}
	if v.DeleteMarker {
		header.Set("X-Amz-Delete-Marker", "true")
	}
	return s3Reply{status: http.StatusNoContent, header: header}, nil
}

func deleteObjects(c *call) (any, *apiError) {
	type keyXML struct {
		Key       string
		VersionID string `xml:"VersionId,omitempty"`
	}
	type deletedXML struct {
		keyXML
		DeleteMarker          bool   `xml:",omitempty"`
		DeleteMarkerVersionID string `xml:"DeleteMarkerVersionId,omitempty"`
	}
	type errorXML struct {
		keyXML
		Code, Message string
	}
	var in struct {
		XMLName xml.Name `xml:"Delete"`
		Objects []keyXML `xml:"Object"`
		Quiet   bool
	}
	if err := xml.Unmarshal(c.body, &in); err != nil || len(in.Objects) == 0 || len(in.Objects) > maxObjectsAPage {
		return nil, malformedXML()
	}
	owner, _, refused := c.open(false)
	if refused != nil {
		return nil, refused
	}
	out := struct {
		XMLName xml.Name     `xml:"http://s3.amazonaws.com/doc/2006-03-01/ DeleteResult"`
		Deleted []deletedXML `xml:"Deleted"`
		Errors  []errorXML   `xml:"Error"`
	}{}
	for _, o := range in.Objects {
		if denied := c.allow(c.removal(o.Key, o.VersionID)); denied != nil {
			out.Errors = append(out.Errors, errorXML{o, denied.code, denied.message})
			continue
		}
		v := c.removeObject(owner, o.Key, o.VersionID)
		if in.Quiet {
			continue
		}
		deleted := deletedXML{keyXML: o, DeleteMarker: v.DeleteMarker}
		if v.DeleteMarker {
			deleted.DeleteMarkerVersionID = v.ID
		}
		out.Deleted = append(out.Deleted, deleted)
	}
	return s3Reply{body: out}, nil
}
