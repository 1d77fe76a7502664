// Follow a fapiao log as a stranger does who trusts golang.org/x/mod: signed notes by sumdb/note, tiles and proofs by sumdb/tlog.
//
//	follow URL VERIFIER-KEY WITNESS-VERIFIER-KEY OLDER-CHECKPOINT-FILE
//
// Ends with status 0 if everything holds that the log says of itself, else with 1 and what does not.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const width = 256

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: follow URL VERIFIER-KEY WITNESS-VERIFIER-KEY OLDER-CHECKPOINT-FILE")
		os.Exit(2)
	}
	size, err := follow(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("all %d leaves hold\n", size)
}

func follow(url, key, witnessKey, olderFile string) (int64, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return 0, err
	}
	witness, err := newCosigner(witnessKey)
	if err != nil {
		return 0, err
	}
	text, err := get(url + "/checkpoint")
	if err != nil {
		return 0, err
	}
	if err := cosigned(text, verifier, witness); err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	tree, err := open(text, verifier)
	if err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	leaves, err := entries(url, tree.N)
	if err != nil {
		return 0, fmt.Errorf("entries: %w", err)
	}
	if err := recompute(leaves, tree); err != nil {
		return 0, fmt.Errorf("entries: %w", err)
	}
	if err := readTiles(url, leaves, tree); err != nil {
		return 0, fmt.Errorf("tiles: %w", err)
	}
	for n, leaf := range leaves {
		if err := included(url, verifier, tree, int64(n), leaf); err != nil {
			return 0, fmt.Errorf("inclusion of %d: %w", n, err)
		}
	}
	older, err := os.ReadFile(olderFile)
	if err != nil {
		return 0, err
	}
	if err := continued(url, verifier, tree, older); err != nil {
		return 0, fmt.Errorf("consistency: %w", err)
	}
	return tree.N, nil
}

func get(url string) ([]byte, error) {
	reply, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		return nil, err
	}
	if reply.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", url, reply.Status, body)
	}
	return body, nil
}

// open reads a signed checkpoint. tlog.ParseTree wants the first line of the checksum database, so the three lines are read here.
func open(text []byte, verifier note.Verifier) (tlog.Tree, error) {
	signed, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return tlog.Tree{}, errors.New("not three lines")
	}
	if lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("of another log, %s", lines[0])
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// cosigner verifies Ed25519 cosignatures (c2sp.org/tlog-cosignature) for sumdb/note, which knows plain signatures only.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
	time uint64
}

func newCosigner(text string) (*cosigner, error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("no verifier key of a witness")
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != 4 {
		return nil, errors.New("no verifier key of a witness")
	}
	sum := sha256.Sum256([]byte(parts[0] + "\n" + string(key)))
	if hex.EncodeToString(sum[:4]) != parts[1] {
		return nil, errors.New("the witness's key has another hash")
	}
	return &cosigner{parts[0], binary.BigEndian.Uint32(sum[:]), key[1:], 0}, nil
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }

func (c *cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	c.time = binary.BigEndian.Uint64(signature)
	return ed25519.Verify(c.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", c.time, text), signature[8:])
}

// cosigned wants the signatures of both, and the witness to have seen it within the last day.
func cosigned(text []byte, log note.Verifier, witness *cosigner) error {
	signed, err := note.Open(text, note.VerifierList(log, witness))
	if err != nil {
		return err
	}
	if len(signed.Sigs) != 2 {
		return errors.New("not cosigned")
	}
	age := time.Since(time.Unix(int64(witness.time), 0))
	if age < -5*time.Minute || age > 24*time.Hour {
		return fmt.Errorf("cosigned %v ago", age)
	}
	return nil
}

// entries reads every leaf out of the bundles.
func entries(url string, size int64) ([][]byte, error) {
	var leaves [][]byte
	for n := int64(0); n*width < size; n++ {
		tile := tlog.Tile{H: 8, L: -1, N: n, W: int(min(width, size-n*width))}
		bundle, err := get(url + "/tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/data/"))
		if err != nil {
			return nil, err
		}
		for i := 0; i < tile.W; i++ {
			if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("bundle %d is cut short", n)
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			leaves = append(leaves, bundle[2:end])
			bundle = bundle[end:]
		}
		if len(bundle) != 0 {
			return nil, fmt.Errorf("bundle %d is too long", n)
		}
	}
	return leaves, nil
}

// recompute builds the whole tree out of the leaves.
func recompute(leaves [][]byte, tree tlog.Tree) error {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	for n, leaf := range leaves {
		more, err := tlog.StoredHashes(int64(n), leaf, read)
		if err != nil {
			return err
		}
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(tree.N, read)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return errors.New("they make another root")
	}
	return nil
}

// tiles reads a log's tiles, whose paths have no height in them.
type tiles struct{ url string }

func (tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	read := make([][]byte, len(wanted))
	for i, tile := range wanted {
		var err error
		if read[i], err = get(t.url + "/tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")); err != nil {
			return nil, err
		}
	}
	return read, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// readTiles reads the hash of each leaf from the tiles, which tlog holds against the root.
func readTiles(url string, leaves [][]byte, tree tlog.Tree) error {
	read := tlog.TileHashReader(tree, tiles{url})
	indexes := make([]int64, len(leaves))
	for n := range leaves {
		indexes[n] = tlog.StoredHashIndex(0, int64(n))
	}
	hashes, err := read.ReadHashes(indexes)
	if err != nil {
		return err
	}
	for n, leaf := range leaves {
		if hashes[n] != tlog.RecordHash(leaf) {
			return fmt.Errorf("leaf %d has another hash", n)
		}
	}
	return nil
}

func included(url string, verifier note.Verifier, tree tlog.Tree, n int64, leaf []byte) error {
	var proof struct {
		Index, Size int64
		Leaf        string
		Path        []string
		Checkpoint  string
	}
	text, err := get(fmt.Sprintf("%s/v1/proofs/inclusion?index=%d&size=%d", url, n, tree.N))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &proof); err != nil {
		return err
	}
	told, err := hex.DecodeString(proof.Leaf)
	if err != nil {
		return err
	}
	if !bytes.Equal(told, leaf) {
		return errors.New("another leaf than in the bundle")
	}
	at, err := open([]byte(proof.Checkpoint), verifier)
	if err != nil {
		return err
	}
	if at != tree || proof.Index != n || proof.Size != tree.N {
		return errors.New("about something else")
	}
	path, err := hashes(proof.Path)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, at.N, at.Hash, n, tlog.RecordHash(told))
}

func continued(url string, verifier note.Verifier, tree tlog.Tree, kept []byte) error {
	older, err := open(kept, verifier)
	if err != nil {
		return fmt.Errorf("kept checkpoint: %w", err)
	}
	var proof struct {
		From, To     int64
		Hashes       []string
		Older, Newer string
	}
	text, err := get(fmt.Sprintf("%s/v1/proofs/consistency?from=%d&to=%d", url, older.N, tree.N))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &proof); err != nil {
		return err
	}
	for _, end := range []struct {
		told string
		size int64
		tree tlog.Tree
	}{{proof.Older, proof.From, older}, {proof.Newer, proof.To, tree}} {
		if told, err := open([]byte(end.told), verifier); err != nil {
			return err
		} else if told != end.tree || end.size != end.tree.N {
			return errors.New("between other checkpoints")
		}
	}
	path, err := hashes(proof.Hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(path, tree.N, tree.Hash, older.N, older.Hash)
}

func hashes(list []string) ([]tlog.Hash, error) {
	read := make([]tlog.Hash, len(list))
	for i, text := range list {
		if n, err := hex.Decode(read[i][:], []byte(text)); err != nil || n != tlog.HashSize {
			return nil, fmt.Errorf("hash %d is none", i)
		}
	}
	return read, nil
}
