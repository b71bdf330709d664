# docker-compose.yml for a database and a broker on other machines; again after each upgrade:
#   sed -f deploy/elsewhere.sed docker-compose.yml > docker-compose.elsewhere.yml
/^ *# bundled {$/,/^ *# bundled }$/d
s/^\( *\)# elsewhere: /\1/
