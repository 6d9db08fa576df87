# Words of ASCII letters and how often each comes up. usage: mawk -f wordcount.awk INPUT > OUTPUT
BEGIN { FS = "[^A-Za-z]+" }
{ for (i = 1; i <= NF; i++) if ($i != "") count[$i]++ }
END { for (word in count) print word "\t" count[word] }
