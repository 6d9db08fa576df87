/**
 * Names of weather stations: cities, some of them not ASCII. The order is part of the generated data: frozen.
 */
export const stations: readonly string[] = `
Abha Abidjan Abéché Accra Adana Adelaide Aden Ahvaz Alexandria Algiers Almaty Amman Amsterdam Anadyr
Anchorage Andorra Ankara Antananarivo Antsiranana Arkhangelsk Ashgabat Asmara Assab Asunción Athens Atlanta
Auckland Austin Aweil Ålesund Baghdad Bahia Baguio Baku Baltimore Bamako Bangkok Bangui Banjul Barcelona
Bata Batumi Beijing Beirut Belgrade Belmopan Benghazi Bergen Berlin Bilbao Birao Bishkek Bissau Blantyre
Bloemfontein Bogotá Boise Bordeaux Bosaso Boston Bouaké Bratislava Brazzaville Bridgetown Brisbane Brussels
Bucharest Budapest Bujumbura Bulawayo Burnie Busan Cabo-San-Lucas Cairns Cairo Calgary Canberra Caracas
Casablanca Changsha Charlotte Chiang-Mai Chicago Chihuahua Chișinău Chittagong Chongqing Christchurch
Cologne Colombo Columbus Conakry Copenhagen Cotonou Cracow Córdoba Çanakkale Dakar Dallas Damascus Dampier
Darwin Delhi Denpasar Denver Detroit Dhaka Dikson Dili Djibouti Dodoma Dolisie Douala Dubai Dublin Dunedin
Durban Dushanbe Dresden Düsseldorf Edinburgh Edmonton Entebbe Erbil Erzurum Essaouira Fairbanks Fianarantsoa
Flores Florence Frankfurt Fresno Fukuoka Fortaleza Gabès Gaborone Gagnoa Gangtok Garissa Garoua Genoa George
Ghanzi Gjoa Göteborg Guadalajara Guangzhou Guatemala-City Görlitz Halifax Hamburg Hamilton Hanga-Roa Hanoi
Haparanda Harare Harbin Hargeisa Hat-Yai Havana Helsinki Heraklion Hiroshima Ho-Chi-Minh-City Hobart
Hong-Kong Honiara Honolulu Houston Ifrane Indianapolis Iqaluit Irkutsk Istanbul İzmir Jacksonville Jakarta
Jayapura Jerusalem Johannesburg Jos Juba Kabul Kampala Kandi Kankan Kano Kansas-City Karachi Karonga
Kathmandu Khartoum Kigali Kingston Kinshasa Kolkata Kraków Kumasi Kunming Kuopio Kuwait-City Kyiv Kyoto
Kütahya Köln La-Ceiba Labé Laghouat Lagos Lahore Lake-Tekapo Lake-Havasu Las-Palmas Ledo Libreville Lilongwe
Lima Linz Lisbon Livingstone Ljubljana Lodwar Lomé London Louisville Luanda Lubumbashi Lusaka Luxembourg
Lviv Lyon Lübeck Łódź Madrid Mahajanga Makassar Makurdi Malabo Malé Malmö Managua Manama Mandalay Mango
Manila Maputo Marrakesh Marseille Maun Medan Mek'ele Melbourne Memphis Mexicali Mexico-City Miami Milan
Milwaukee Minneapolis Minsk Mogadishu Mombasa Monaco Moncton Monterrey Montréal Moscow Mumbai Murmansk
Muscat Mzuzu München Málaga Nairobi Nakhon-Ratchasima Napier Napoli Nashville Nassau Ndola New-York Niamey
Nice Nicosia Niigata Nouadhibou Nouakchott Novosibirsk Nuuk Nürnberg Odesa Odienné Oklahoma-City Omaha
Oranjestad Oslo Ottawa Ouagadougou Ouahigouya Ouarzazate Oulu Örebro Palembang Palermo Palm-Springs
Palmerston-North Panama-City Parakou Paris Perth Petropavlovsk-Kamchatsky Philadelphia Phnom-Penh Phoenix
Pittsburgh Podgorica Pointe-Noire Pontianak Porto Prague Praia Pretoria Pyongyang Poznań Québec Rabat
Rangpur Reggane Reykjavík Riga Riyadh Rome Roseau Rostov Ruse Sacramento Saint-Pierre Salt-Lake-City
San-Antonio San-Diego San-Francisco San-José San-Juan Sapporo Sarajevo Saskatoon Seattle Seoul Seville
Shanghai Singapore Skopje Sochi Sofia Sokoto Split Stockholm Suva Suwałki Sydney São-Paulo Ségou Tabora
Tabriz Taipei Tallinn Tamale Tamanrasset Tampa Tashkent Tauranga Tbilisi Tegucigalpa Tehran Tel-Aviv
Thessaloniki Thiès Tijuana Timbuktu Tirana Toamasina Tokyo Toliara Toluca Toronto Tripoli Tromsø Tucson
Tunis Tórshavn Ulaanbaatar Upington Ürümqi Vaduz Valencia Valletta Vancouver Veracruz Vienna Vientiane
Villahermosa Vilnius Virginia-Beach Vladivostok Warsaw Washington Wau Wellington Whitehorse Wichita
Willemstad Winnipeg Wrocław Xi'an Yakutsk Yangon Yaoundé Yellowknife Yerevan Yinchuan Zagreb Zanzibar Zürich
Žilina Šiauliai Петрозаводск 東京 Ὀλυμπία
`
  .trim()
  .split(/\s+/)
  .map((name) => name.replaceAll("-", " "));
