Creator "somebody"
graph [
  directed 1
  name "three"
  node [
    id 0
    label "a"
    work 3.0
  ]
  node [
    id 1
    label "b"
    etc "[4.0, null]"
  ]
  node [
    id 2
    label "c"
    work 1
  ]
  edge [
    source 0
    target 1
    bytes 1000000.0
  ]
  machines "[{&#34;id&#34;: &#34;x&#34;, &#34;cores&#34;: 1, &#34;frequency&#34;: 2000}, {&#34;id&#34;: &#34;y&#34;, &#34;cores&#34;: 2, &#34;frequency&#34;: 2000}]"
]
